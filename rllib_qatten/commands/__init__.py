"""The commands of `rllib`, one per file: a function whose arguments are the options.

Ray and torch take seconds to import: a command imports them when it runs, not for `--help`.
"""
