"""The engine itself: whether it answers, which one it is, what its user may do. Imports no other stage."""
