"""Where images come from: folders, tables and functions, each read into the parts of a data set."""
