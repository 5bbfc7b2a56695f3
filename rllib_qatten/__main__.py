"""`python -m rllib_qatten` is the `rllib` command."""

from rllib_qatten.cli import main

if __name__ == "__main__":
    main()
