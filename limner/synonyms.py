"""Words that say the same, one group a line, for machines without WordNet.

What people call the things, colours, sizes, places and hours that the picture world and most prompts are about. Words
that only sometimes mean the same (a kind and its genus, «fox» and «animal») stand in no group.
"""

from __future__ import annotations

GROUPS = """
car automobile auto motorcar
bus coach omnibus
bicycle bike cycle
airplane plane aeroplane aircraft jet
sailboat sailing-boat yacht
boat ship vessel
truck lorry
rocket spaceship spacecraft
helicopter chopper
scooter moped
train locomotive
house home cottage
castle fortress palace
tent campsite
couch sofa settee
chair seat stool
fox vixen
cat kitty kitten feline
dog puppy hound canine
rabbit bunny hare
horse pony stallion mare
pig hog swine
cow cattle
duck mallard
bee honeybee bumblebee
ladybug ladybird
whale orca
turtle tortoise
monkey ape chimpanzee
donut doughnut
hamburger burger cheeseburger
cake gateau
mushroom toadstool
flower blossom bloom
photo photograph picture image snapshot
painting artwork
drawing sketch
cartoon comic
illustration picture drawing
render rendering
sticker decal
phone telephone smartphone cellphone
crown tiara diadem
umbrella parasol
red crimson scarlet ruby maroon burgundy vermilion reddish
orange amber tangerine apricot
yellow golden lemon mustard gold yellowish
green emerald lime olive jade mint greenish
blue navy azure turquoise teal cyan cobalt sapphire indigo bluish
purple violet lilac lavender mauve
pink magenta fuchsia rose salmon coral
brown tan beige chestnut bronze
white ivory cream snow-white
grey gray silver slate
black jet ebony charcoal
colour color colouring coloring hue
colourful colorful multicoloured vivid
big large huge giant enormous gigantic massive
small little tiny miniature
tall high towering
old ancient aged
young youthful
happy cheerful joyful smiling
sad unhappy gloomy
beautiful pretty lovely gorgeous
snow snowy snowfall snowing
rain rainy raining
fog foggy mist misty haze hazy
storm stormy
sun sunny sunshine sunlight
cloud cloudy clouds
night nighttime midnight nocturnal moonlit
sunset dusk sundown twilight
sunrise dawn daybreak
day daytime daylight
sea ocean
beach shore seaside coast
forest woods woodland
desert dune dunes
mountain mountainous peak
meadow field grassland pasture
city town urban cityscape skyline
space cosmos galaxy
underwater undersea
room interior indoors
street road
river stream
man guy gentleman
woman lady
child kid
boy lad
girl lass
person people human
background backdrop
plain simple
clear cloudless
style styled
geometric geometrical
pair couple two
"""
