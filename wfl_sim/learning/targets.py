def find(module, roles):
    return [n for n,_ in module.named_modules() if n.rpartition(".")[2] in roles]
