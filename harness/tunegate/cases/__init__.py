"""Cases: the tests of a suite, and the bank from which they are drawn."""
