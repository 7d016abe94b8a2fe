module bench/ceiling

go 1.22
