"""Who may see and do what on the board: sign-in, sessions, and a permission for every address."""
