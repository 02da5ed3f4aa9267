"""Live recognition: camera and microphone, the session, the player."""
