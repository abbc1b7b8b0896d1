"""Tools that every other folder may use: checks of arguments, this installation, progress, names of files."""
