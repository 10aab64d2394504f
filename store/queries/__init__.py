"""Read models of the console: plain queries over indexes, one file a page, that return rows and never write."""
