"""The version of this program, as pyproject.toml has it: to look it up in what is installed takes longer than all else
that `--version` does."""

VERSION = "0.1.0"
