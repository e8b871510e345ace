"""People's judgement of answers: the sheet that a reviewer works through, the files that come back, how far they agree."""
