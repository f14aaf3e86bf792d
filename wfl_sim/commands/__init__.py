"""Commands of the radio's side of the command line, one a module, and what all commands share."""
