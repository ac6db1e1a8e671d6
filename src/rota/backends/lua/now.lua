-- The time. Answers microseconds as text.
return int(now)
