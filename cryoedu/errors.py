"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Bad input, told in one sentence: which file, row or value, what is wrong, and the way out.

    Raised before any long computation starts. The command line prints the sentence and stops;
    anything else that escapes is a defect of cryoedu.
    """
