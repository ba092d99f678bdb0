"""The services that Gongfang runs itself, one class each."""
