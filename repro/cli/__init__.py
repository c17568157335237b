"""The command line: the commands and their parts; `options/`: options that commands share or that belong together."""
