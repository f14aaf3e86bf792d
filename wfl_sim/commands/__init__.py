"""Commands of the command line, one a module, and what all commands share."""
