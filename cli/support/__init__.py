"""What commands share: exit codes, options, lines, money, progress."""
