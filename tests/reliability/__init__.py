"""Campaigns that disturb and attack the program, run by `make torture`, and the tests of their machinery."""
