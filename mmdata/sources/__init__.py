"""Sources list the rows of a raw corpus and read any one of them."""
