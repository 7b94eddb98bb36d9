"""A simulated ChirpStack with simulated devices that really decode: for tests, the demo and device makers.

    world = World(fleet(50, seed=1), clock=SystemClock(), radio=Radio(loss=0.1))
    async with open_loop(), open_webhook("http://localhost:8090/") as webhook, trio.open_nursery() as nursery:
        nursery.start_soon(world.run, webhook.deliver)
        await nursery.start(serve)      # serve_api(world, Bind("127.0.0.1", 8080), token=…, conditions=…)
        ...
    holdings(world.devices)             # image -> the devices that hold it

In virtual time there is no wire: `SimulatedNetwork(world)` is the network, with a `TrioClock`, and
`world.run` is given what takes the uplinks. What is special about a device says its `Behaviour`.
"""
