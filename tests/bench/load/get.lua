-- Reads payments by id, at random out of a file of ids.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

local requests = {}

function init(args)
    common.init(args)
    for id in io.lines(common.file) do
        requests[#requests + 1] = common.get(id)
    end
end

function request()
    return requests[math.random(#requests)]
end
