-- needs changes
-- Ask a running run to stop. ARGV: id, reason. Answers 1, or 0 where it is not running.
local is_asked = request_cancel(ARGV[1], ARGV[2], { [RUNNING] = true })
finish()
return is_asked and 1 or 0
