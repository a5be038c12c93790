-- Brings webhooks that were signed beforehand: each request stands in a file behind its length, eight digits.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

local requests

function init(args)
    common.init(args)
    requests = io.open(common.file, "rb")
end

function request()
    local length = requests:read(8)
    if not length then error("the file of requests is too short") end
    return requests:read(tonumber(length))
end
