"""What every room may use and none is about: checks of arguments, this installation, progress, names of files."""
