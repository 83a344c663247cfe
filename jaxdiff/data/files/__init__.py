"""Files of images: one format a file; `read` knows them all."""
