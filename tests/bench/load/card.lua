-- Adds cards, as fast as they are answered: each number once, for customers who are drawn at random.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

init = common.init

function request()
    return common.card()
end
