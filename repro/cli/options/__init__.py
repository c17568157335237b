"""Options that commands share or that belong together: their types, what adds them, and what the given ones mean."""
