"""Several machines: blocks of cases, handed to an engine, measured alone on a node, kept in one folder."""
