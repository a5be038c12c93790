-- Whole checkouts: create, authorize, capture, complete; each request when the answer to the one before has come.
-- wrk does not say which connection an answer belongs to. None is needed: an answer makes one request possible and frees
-- one connection, so whichever connection comes next takes the most advanced request that waits, else it creates.
-- An answer is timed by its order, from the moment its request was handed to wrk until the answer was whole; kind and
-- microseconds go to a file, a line each.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

local NEXT = { create = "authorize", authorize = "capture", capture = "complete" }
local KIND_BY_STATUS = { PENDING = "create", AUTHORIZED = "authorize", CAPTURED = "capture", COMPLETED = "complete" }
local MOST_ADVANCED_FIRST = { "complete", "capture", "authorize" }
local waiting = { authorize = {}, capture = {}, complete = {} }
local started = {}
local times

completed = 0 -- read by `done`
strange = 0

function init(args)
    common.init(args)
    times = io.open(common.file, "w")
end

function request()
    for _, action in ipairs(MOST_ADVANCED_FIRST) do
        local payment = table.remove(waiting[action])
        if payment then
            started[payment.order] = common.micros()
            return common.write("PUT", "/" .. payment.id .. "/" .. action, "{}")
        end
    end
    local text, order = common.create()
    started[order] = common.micros()
    return text
end

function response(status, _, body)
    local kind = KIND_BY_STATUS[body:match('"status":"([A-Z_]+)"')]
    local order = body:match('"orderId":"([^"]+)"')
    if not kind or status ~= (kind == "create" and 201 or 200) or not started[order] then
        strange = strange + 1
        first_strange = first_strange or (status .. " " .. body:sub(1, 500))
        return
    end
    times:write(kind, " ", math.floor(common.micros() - started[order]), "\n")
    if kind == "complete" then
        completed = completed + 1
        started[order] = nil
    else
        table.insert(waiting[NEXT[kind]], { id = body:match('"id":"([^"]+)"'), order = order })
    end
end
