"""Cases: the tests of a suite, and the bank that they are drawn from."""
