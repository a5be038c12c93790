-- Asks for paths, at random out of a file of them.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

local requests = {}

function init(args)
    common.init(args)
    for path in io.lines(common.file) do
        requests[#requests + 1] = common.ask(path)
    end
end

function request()
    return requests[math.random(#requests)]
end
