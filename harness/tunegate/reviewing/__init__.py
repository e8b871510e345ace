"""People's judgement of answers: the sheet of a reviewer, the files that come back, how far reviewers agree."""
