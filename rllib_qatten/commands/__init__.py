"""The commands of `rllib`, one a file of its name: a function whose arguments are the options.

Ray and torch take seconds to import: a command does so when it runs, not for `--help`.
"""
