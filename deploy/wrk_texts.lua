-- For wrk: POSTs each line of a file of JSON, over and over, and prints what came of it as JSON. Called by measure.py.

local bodies = {}
local number = 0

function init(args)
    for line in io.lines(args[1]) do
        bodies[#bodies + 1] = line
    end
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
end

function request()
    number = number % #bodies + 1
    return wrk.format(nil, nil, nil, bodies[number])
end

function done(summary, latency)
    local errors = summary.errors
    local lost = errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format(
        '{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "not_200": %d, "lost": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.status, lost
    ))
end
