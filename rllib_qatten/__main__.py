"""`python -m rllib_qatten` is the `rllib` command."""

from rllib_qatten.commands.cli import main

if __name__ == "__main__":
    main()
