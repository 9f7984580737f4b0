"""Tree to program: axes and sizes resolved, definitions expanded, statements as terms; and the graph of these."""
