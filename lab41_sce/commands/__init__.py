"""The command lines, one module each: parse the arguments, call the package, print the results.

The module of `lab41-sce NAME` is `lab41_sce.commands.NAME` (the page's is `lab41_sce.demo.__main__`). Each has a
function `main` that reads `sys.argv` and returns the exit status.
"""
