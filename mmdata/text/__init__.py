"""What texts hold: detectors of personal data, for the stage `text.redact`."""
