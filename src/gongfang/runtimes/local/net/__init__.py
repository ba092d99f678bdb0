"""A network of its own for each workload, by netlink alone: no program of the machine's is needed for it.

    workload's namespace                 │ the machine's namespace
    lo, eth0 = its address/32 ── veth ───┼── gfHHHHHHSLOT, a route to that address
    default route to the gateway         │ the gateway's address (on `lo`): the edge and the names answer there
                                         │ one nftables table a home says who reaches what

`netlink` speaks to the kernel; `links` makes interfaces, addresses and routes; `nft` has the words of nftables and
`firewall` (pure) what is said in them; `addresses` (pure) chooses the subnet; `namespace` starts processes in a
namespace of their own; `network` is what the driver uses; `names` is the resolver inside workloads' reach.
"""
