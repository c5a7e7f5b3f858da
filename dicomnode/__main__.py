"""``python -m dicomnode``, and the ``dicomnode`` command.

Worker processes import this module again, as they do whatever a process was started from: nothing is imported above.
"""


def main() -> None:
    """Run the command line."""
    from dicomnode.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
