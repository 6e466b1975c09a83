"""Speech of known speakers: trees in LibriSpeech's layout, their download, and speaker and utterance splits."""
