"""What pictures show, computed without records or schemas: the stages over pictures call it."""
