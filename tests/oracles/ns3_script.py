"""Path loss, probability of line of sight and goodput as ns-3 has them: questions in, answers out, as JSON.

Runs in the oracle's own environment and knows nothing of this project. ns-3's distances are those in a straight
line; its models are asked with shadowing off.
"""

from __future__ import annotations

import json
import sys

import cppyy
from ns import ns

# The probability is a private method; C++ lets an explicit instantiation name it.
cppyy.cppdef("""
namespace opened {
using Side = ns3::Ptr<const ns3::MobilityModel>;
double losProbability(const ns3::ThreeGppChannelConditionModel& model, Side a, Side b);
template <auto Method> struct Door {
    friend double losProbability(const ns3::ThreeGppChannelConditionModel& model, Side a, Side b) {
        return (model.*Method)(a, b);
    }
};
template struct Door<&ns3::ThreeGppChannelConditionModel::ComputePlos>;
}
""")

LOSS = {
    "uma": "ThreeGppUmaPropagationLossModel",
    "umi": "ThreeGppUmiStreetCanyonPropagationLossModel",
    "rma": "ThreeGppRmaPropagationLossModel",
    "inh": "ThreeGppIndoorOfficePropagationLossModel",
    "free_space": "FriisPropagationLossModel",
    "log_distance": "LogDistancePropagationLossModel",
    "two_ray": "TwoRayGroundPropagationLossModel",
    "okumura_hata": "OkumuraHataPropagationLossModel",
    "cost231_hata": "Cost231PropagationLossModel",
    "p1238": "ItuR1238PropagationLossModel",
}
SIGHT = {
    "uma": "ThreeGppUmaChannelConditionModel",
    "umi": "ThreeGppUmiStreetCanyonChannelConditionModel",
    "rma": "ThreeGppRmaChannelConditionModel",
    "inh mixed": "ThreeGppIndoorMixedOfficeChannelConditionModel",
    "inh open": "ThreeGppIndoorOpenOfficeChannelConditionModel",
}
STATE = {"los": "AlwaysLosChannelConditionModel", "nlos": "NeverLosChannelConditionModel"}
HATA = {
    "small_city": ("UrbanEnvironment", "SmallCity"),
    "large_city": ("UrbanEnvironment", "LargeCity"),
    "suburban": ("SubUrbanEnvironment", "SmallCity"),
    "open": ("OpenAreasEnvironment", "SmallCity"),
}


def created(name):
    return ns.CreateObject[getattr(ns, name)]()


def loss_model(question):
    model = created(LOSS[question["model"]])
    if question["model"] in ("uma", "umi", "rma", "inh"):
        model.SetAttribute("ShadowingEnabled", ns.BooleanValue(False))
        model.SetFrequency(question["carrier_hz"])
        model.SetChannelConditionModel(created(STATE[question["state"]]))
    elif question["model"] != "log_distance":
        model.SetAttribute("Frequency", ns.DoubleValue(question["carrier_hz"]))
    for name, value in question.get("attributes", {}).items():
        model.SetAttribute(name, ns.DoubleValue(value))
    if "area" in question:
        environment, size = HATA[question["area"]]
        model.SetAttribute("Environment", ns.EnumValue[ns.EnvironmentType](getattr(ns, environment)))
        model.SetAttribute("CitySize", ns.EnumValue[ns.CitySize](getattr(ns, size)))
    return model


def put_into_building(antennas, question):
    """An office around both antennas, the base station some floors up."""
    building = created("Building")
    building.SetBoundaries(ns.Box(-1e4, 1e4, -1e4, 1e4, 0.0, 40.0))
    building.SetBuildingType(getattr(ns.Building, question["building"]))
    building.SetNFloors(10)
    for antenna, floor in zip(antennas, (question["floors"], 0), strict=True):
        inside = created("MobilityBuildingInfo")
        antenna.AggregateObject(inside)
        inside.SetIndoor(building, floor + 1, 1, 1)


def point_to_point(question):
    """Payload bits that arrive in a time, over a link that is never idle and loses packets at random."""
    ns.RngSeedManager.SetSeed(question["seed"])
    nodes = ns.NodeContainer()
    nodes.Create(2)
    link = ns.PointToPointHelper()
    link.SetDeviceAttribute("DataRate", ns.StringValue(f"{question['rate_bps']:.0f}bps"))
    link.SetChannelAttribute("Delay", ns.StringValue("0ns"))
    devices = link.Install(nodes)
    errors = ns.CreateObject[ns.RateErrorModel]()
    errors.SetAttribute("ErrorRate", ns.DoubleValue(question["loss"]))
    errors.SetAttribute("ErrorUnit", ns.StringValue("ERROR_UNIT_PACKET"))
    devices.Get(1).SetAttribute("ReceiveErrorModel", ns.PointerValue(errors))
    ns.InternetStackHelper().Install(nodes)
    addresses = ns.Ipv4AddressHelper()
    addresses.SetBase(ns.Ipv4Address("10.1.1.0"), ns.Ipv4Mask("255.255.255.0"))
    interfaces = addresses.Assign(devices)
    server = ns.UdpServerHelper(4000)
    sink = server.Install(nodes.Get(1))
    client = ns.UdpClientHelper(interfaces.GetAddress(1).ConvertTo(), 4000)
    interval_s = 0.98 * (question["payload_bytes"] + 30) * 8 / question["rate_bps"]  # more than the link can carry
    client.SetAttribute("MaxPackets", ns.UintegerValue(4_000_000_000))
    client.SetAttribute("Interval", ns.TimeValue(ns.Seconds(interval_s)))
    client.SetAttribute("PacketSize", ns.UintegerValue(question["payload_bytes"]))
    sender = client.Install(nodes.Get(0))
    sink.Start(ns.Seconds(0.0))
    sender.Start(ns.Seconds(0.0))
    ns.Simulator.Stop(ns.Seconds(question["seconds"]))
    ns.Simulator.Run()
    received = sink.Get(0).GetObject[ns.UdpServer]().GetReceived()
    ns.Simulator.Destroy()
    return float(received * question["payload_bytes"] * 8)


def faded(question):
    """Share of packets that arrive at no less than a power, over log-distance loss and Nakagami fading with m = 1."""
    ns.RngSeedManager.SetSeed(question["seed"])
    base, client = created("ConstantPositionMobilityModel"), created("ConstantPositionMobilityModel")
    base.SetPosition(ns.Vector(0.0, 0.0, 0.0))
    client.SetPosition(ns.Vector(question["distance_m"], 0.0, 0.0))
    loss, fading = created("LogDistancePropagationLossModel"), created("NakagamiPropagationLossModel")
    loss.SetAttribute("Exponent", ns.DoubleValue(question["exponent"]))
    loss.SetAttribute("ReferenceLoss", ns.DoubleValue(question["reference_db"]))
    for name in ("m0", "m1", "m2"):
        fading.SetAttribute(name, ns.DoubleValue(1.0))
    loss.SetNext(fading)
    arrived = (loss.CalcRxPower(question["power_dbm"], base, client) for _ in range(question["packets"]))
    return sum(power_dbm >= question["least_dbm"] for power_dbm in arrived) / question["packets"]


def answer(question):
    if "ask" in question:
        return {"point_to_point": point_to_point, "faded": faded}[question["ask"]](question)
    base, client = created("ConstantPositionMobilityModel"), created("ConstantPositionMobilityModel")
    base.SetPosition(ns.Vector(0.0, 0.0, question["base_m"]))
    if "building" in question:
        put_into_building((base, client), question)
    sighted = question.get("state") == "probability"
    model = created(SIGHT[question["model"]]).__deref__() if sighted else loss_model(question)
    answers = []
    for distance in question["distance_m"]:
        client.SetPosition(ns.Vector(distance, 0.0, question["client_m"]))
        if sighted:
            answers.append(cppyy.gbl.opened.losProbability(model, base, client))
        elif "building" in question:
            answers.append(model.GetLoss(base, client))
        else:
            answers.append(-model.CalcRxPower(0.0, base, client))
    return answers


if __name__ == "__main__":
    print(json.dumps([answer(question) for question in json.load(sys.stdin)]))
