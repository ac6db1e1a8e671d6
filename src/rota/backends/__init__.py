"""What locks and stores are made with, one technology a file; `rota.locks` and `rota.stores` hand the names on."""
