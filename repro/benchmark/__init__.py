"""The speed of training on this machine, compared with a baseline that is measured in the same run."""
