-- What the loads share: unique requests written by hand (wrk.format is slow), and the result as one line of JSON.
-- Arguments after the URL: token, prefix (unique for every run, so that no key and no order comes twice), seed,
-- a file: of ids to read, or for the times of checkouts' requests; vendors: the number of vendors, where payments are
-- split between two of them.

local ffi = require("ffi")
ffi.cdef [[
    typedef struct { long seconds; long nanoseconds; } bench_timespec;
    int clock_gettime(int clock, bench_timespec *time);
]]

local CLOCK_MONOTONIC = 1
local CUSTOMERS = 100000
local PATH = "/api/v1/payments/core"
local METHODS_PATH = "/api/v1/payment-methods"
local time = ffi.new("bench_timespec")
local threads = {}
local count = 0
local head

common = {}

function common.init(args)
    common.prefix = args[2]
    common.run = tonumber(args[3])
    common.file = args[4]
    common.vendors = tonumber(args[5] or "0")
    math.randomseed(tonumber(args[3]))
    head = string.format("Host: %s:%s\r\nAuthorization: Bearer %s\r\n", wrk.host, wrk.port, args[1])
end

function common.micros()
    ffi.C.clock_gettime(CLOCK_MONOTONIC, time)
    return tonumber(time.seconds) * 1000000 + tonumber(time.nanoseconds) / 1000
end

function common.get(id)
    return "GET " .. PATH .. "/" .. id .. " HTTP/1.1\r\n" .. head .. "\r\n"
end

-- A path that is asked for as it is.
function common.ask(path)
    return "GET " .. path .. " HTTP/1.1\r\n" .. head .. "\r\n"
end

function common.write(method, path, body, base)
    count = count + 1
    return string.format("%s %s%s HTTP/1.1\r\n%sContent-Type: application/json\r\nIdempotency-Key: key-%s-%08d\r\n"
        .. "Content-Length: %d\r\n\r\n%s", method, base or PATH, path, head, common.prefix, count, #body, body)
end

-- The shares of two vendors that sell in one category each.
local function splits(amount)
    if common.vendors == 0 then return "" end
    local first, part = math.random(0, common.vendors - 1), math.random(1, amount - 1)
    local second = (first + math.random(1, common.vendors - 1)) % common.vendors
    local one = '{"vendorId":"vendor-%d","categoryId":"category-%d","amount":%d}'
    return string.format(',"splits":[%s,%s]', string.format(one, first, first % 250, part),
        string.format(one, second, second % 250, amount - part))
end

-- Returns the request and the order that it is for.
function common.create()
    local order = string.format("order-%s-%08d", common.prefix, count + 1)
    local amount = math.random(100, 20000)
    local body = string.format('{"orderId":"%s","customerId":"customer-%06d","amount":%d,"currency":"EUR",'
        .. '"paymentMethodId":"pm_sandbox_visa"%s}', order, math.random(0, CUSTOMERS - 1), amount, splits(amount))
    return common.write("POST", "", body), order
end

-- The check digit of a card number without it.
local function check_digit(number)
    local total = 0
    for place = 0, #number - 1 do
        local digit = number:byte(#number - place) - 48
        if place % 2 == 0 then digit = digit * 2 - (digit > 4 and 9 or 0) end
        total = total + digit
    end
    return (10 - total % 10) % 10
end

function common.card()
    local number = string.format("4%04d%010d", common.run % 10000, count + 1)
    local body = string.format('{"customerId":"customer-%s-%06d","type":"CARD","card":{"number":"%s%d",'
        .. '"expMonth":12,"expYear":2034,"cvc":"123","holderName":"A Customer"}}',
        common.prefix, math.random(0, CUSTOMERS - 1), number, check_digit(number))
    return common.write("POST", "", body, METHODS_PATH)
end

-- wrk calls these in its main state, which shares nothing with the threads' states; `thread:get` copies numbers
-- (and breaks on tables).
function setup(thread)
    threads[#threads + 1] = thread
end

function done(summary, latency)
    local completed, strange = 0, 0
    for _, thread in ipairs(threads) do
        completed = completed + (thread:get("completed") or 0)
        strange = strange + (thread:get("strange") or 0)
        if thread:get("first_strange") then print("the first strange answer: " .. thread:get("first_strange")) end
    end
    local faults = summary.errors
    print(string.format('RESULT {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"completed":%d,'
        .. '"faults":{"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"strange":%d}}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), completed,
        faults.status, faults.connect, faults.read, faults.write, faults.timeout, strange))
end
