"""Taking part in elections, and watching them. See README.md beside this file."""
