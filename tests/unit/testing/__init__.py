"""The kit with which authors of topics test them."""
