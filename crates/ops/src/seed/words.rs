//! The words that generated text is made of. Common ones stand first: they are drawn more often.

pub(super) const NOUNS: &str = "night day love house river heart moon road shadow city girl man woman king queen \
    secret dream stranger war garden fire winter summer letter promise island bridge mountain train murder storm \
    daughter son brother sister father mother wife husband child ghost light darkness blood gold silver rose star \
    sea ocean desert forest lake valley harbor street door window mirror clock key map crown sword gun bullet knife \
    kiss dance song music silence voice whisper scream lie truth memory past future tomorrow yesterday morning \
    midnight dawn dusk sunset horizon sky cloud rain snow ice wind thunder flame ash smoke dust stone glass iron \
    steel paper ink thread web mask face hand eye bone skin tooth wing feather horse wolf fox bear lion tiger \
    eagle raven swan snake spider bee butterfly whale shark dog cat bird fish tree leaf root seed flower thorn \
    orchard vineyard farm field harvest bread wine salt sugar honey milk table chair bed room tower castle palace \
    cathedral church temple school prison hospital hotel theater circus carnival market station airport ship boat \
    submarine plane rocket car motorcycle bicycle wagon carriage engine machine robot computer signal code number \
    cipher riddle puzzle game player gambler thief spy detective soldier captain pilot sailor doctor nurse teacher \
    student writer painter singer dancer actor lawyer judge priest monk witch wizard vampire werewolf monster \
    dragon giant angel devil demon god prophet pilgrim traveler wanderer exile refugee orphan widow bride groom \
    bachelor heir prince princess duke countess baron knight outlaw sheriff cowboy ranger hunter trapper miner \
    fisherman shepherd farmer butcher baker tailor barber clown juggler magician hypnotist inventor professor \
    scientist astronaut explorer archaeologist collector dealer smuggler pirate mercenary assassin executioner \
    hangman witness juror hostage prisoner fugitive impostor double twin neighbor landlord tenant guest host \
    butler maid chauffeur gardener cook waiter bartender barfly drifter hobo beggar banker broker millionaire \
    senator governor president ambassador general colonel sergeant corporal private recruit veteran rebel \
    revolution rebellion uprising siege battle treaty border frontier wall fence gate tunnel cave mine well \
    fountain waterfall canyon cliff reef shore beach dune oasis glacier volcano crater comet asteroid planet \
    galaxy eclipse equinox solstice season autumn spring holiday wedding funeral christening birthday anniversary \
    reunion homecoming farewell departure arrival journey voyage expedition crossing passage escape pursuit chase \
    race duel trial verdict sentence confession alibi ransom inheritance fortune fame glory honor duty mercy \
    justice revenge betrayal treason conspiracy scandal rumor gossip legend myth fable parable prophecy curse \
    spell charm omen miracle vision nightmare illusion obsession passion desire jealousy envy pride greed wrath \
    hunger thirst fever plague cure poison antidote serum experiment formula theorem paradox labyrinth maze \
    carousel lantern candle lighthouse compass anchor sail rudder harpoon net trap cage chain rope knot ribbon \
    veil gown uniform medal ring necklace bracelet emerald ruby sapphire diamond pearl amber ivory jade marble \
    porcelain violin piano trumpet drum guitar cello opera waltz tango lullaby serenade requiem symphony sonnet \
    café fiancé façade naïveté señorita résumé soirée château matinée mêlée papier-mâché piñata jalapeño smörgåsbord";

pub(super) const ADJECTIVES: &str = "last lost dark little long secret silent wild broken golden hidden cold strange \
    dead red blue green lonely final forgotten perfect sweet bitter burning frozen empty quiet distant \
    dangerous crooked crimson velvet silver iron paper glass hollow sacred ancient modern young old new beautiful \
    brave gentle cruel kind honest guilty innocent invisible invincible immortal mortal fatal final first \
    second third only other unknown unseen unheard unspoken untold unfinished unforgiven unbroken restless sleepless \
    fearless reckless ruthless endless timeless nameless faceless homeless hopeless shameless careless merciless \
    moonlit sunlit starlit midnight northern southern eastern western royal noble humble common rare \
    precious priceless worthless stolen borrowed forbidden promised chosen fallen rising falling flying running \
    dancing singing laughing weeping whispering screaming dreaming sleeping waking walking wandering waiting \
    watching hunting hungry thirsty angry happy sad merry gloomy bright dim pale dusty rusty muddy snowy rainy \
    stormy misty foggy windy sunny icy fiery smoky stony sandy leafy thorny bloody deadly ghostly heavenly hellish \
    devilish angelic magic mystic cosmic electric atomic mechanical clockwork scarlet violet amber ivory ebony jade \
    turquoise emerald sapphire ruby crystal marble granite concrete wooden leather silken woolen cotton linen \
    tender rough smooth sharp blunt heavy light quick slow sudden gradual early late eternal temporary permanent \
    ordinary extraordinary remarkable peculiar curious impossible improbable unlikely inevitable accidental \
    deliberate reluctant eager willing stubborn proud modest shy bold wicked righteous holy profane pure tainted \
    naïve passé blasé risqué";

pub(super) const ROLES: &str = "detective teacher journalist widow soldier doctor lawyer thief singer farmer nurse \
    painter student pilot captain mechanic chef waitress writer photographer scientist engineer musician dancer \
    boxer gambler spy diplomat archaeologist librarian baker carpenter fisherman shepherd miner sheriff ranger \
    smuggler pickpocket forger magician puppeteer clockmaker lighthouse-keeper night-watchman bus-driver \
    taxi-driver train-conductor paramedic firefighter surgeon psychiatrist pharmacist veterinarian beekeeper \
    gardener florist seamstress tailor cobbler blacksmith glassblower stonemason architect cartographer astronomer \
    physicist mathematician linguist translator historian professor principal coach athlete jockey cyclist climber \
    diver sailor stowaway refugee orphan runaway drifter retiree grandmother grandfather bride bachelor heiress \
    prince chambermaid butler senator mayor prosecutor judge juror warden inmate hacker programmer gamer influencer \
    blogger comedian actor director screenwriter stuntwoman projectionist ventriloquist hypnotist medium exorcist \
    priest nun monk pilgrim missionary guerrilla deserter sniper medic cook cartoonist sculptor violinist organist \
    barista sommelier butcher cheesemaker truffle-hunter cowboy trapper homesteader";

pub(super) const PLACES: &str = "London Paris Berlin Rome Madrid Lisbon Vienna Prague Budapest Warsaw Kraków Moscow \
    Istanbul Athens Cairo Marrakesh Casablanca Tangier Lagos Nairobi Johannesburg Mumbai Delhi Kolkata Lahore \
    Karachi Dhaka Bangkok Saigon Hanoi Manila Jakarta Singapore Shanghai Beijing Tokyo Kyoto Osaka Seoul Busan \
    Sydney Melbourne Auckland Honolulu Seattle Portland Oakland Reno Tucson Denver Omaha Memphis Nashville Savannah \
    Charleston Baltimore Boston Providence Montréal Québec Toronto Winnipeg Havana Kingston Veracruz Oaxaca \
    Bogotá Medellín Quito Lima Santiago Valparaíso Buenos-Aires Montevideo Asunción São-Paulo Recife Belém Oslo \
    Bergen Tromsø Malmö Göteborg Stockholm Helsinki Turku Tallinn Riga Vilnius Gdańsk Łódź Wrocław Zürich Genève \
    Besançon Orléans Nîmes Málaga Cádiz Córdoba León Coruña Évora Coimbra Napoli Palermo Trieste Ljubljana Zagreb \
    Sarajevo Skopje Sofia Bucharest Chișinău Odesa Tbilisi Yerevan Baku Samarkand Bukhara Reykjavík Akureyri \
    Tórshavn Nuuk Galway Cork Belfast Glasgow Aberdeen Cardiff Swansea Plymouth Whitby Alaska Montana Wyoming \
    Dakota Kansas Oklahoma Louisiana Kentucky Appalachia Patagonia Siberia Lapland Anatolia Andalusia Provence \
    Bavaria Tuscany Sicily Sardinia Corsica Crete Cyprus Malta Madeira Zanzibar Timbuktu Kathmandu Lhasa Ulaanbaatar";

pub(super) const FIRST_NAMES: &str = "Anna James Maria John Elena David Sarah Michael Laura Daniel Julia Thomas Sofia \
    Robert Emma Peter Clara Paul Alice Mark Nina George Eva Martin Lucy Victor Rosa Samuel Ida Henry Vera Arthur \
    Irene Walter Helen Frank Nora Oscar Ruth Leo Grace Hugo Amelia Felix Olivia Simon Hanna Max Greta Otto Mia Ivan \
    Zoë José André Renée François Chloë Søren Björn Łukasz Zofia Jiří Ana Luís Inês João Núria Jordi Aitor Eñaut \
    Siobhán Seán Niamh Ciarán Máire Aoife Gwen Rhys Owen Fiona Ewan Isla Malcolm Akira Yuki Haruto Sakura Kenji \
    Naoko Wei Lin Ming Xiu Jun Hyun Minji Seojun Anh Linh Minh Thanh Somchai Malee Putri Budi Arjun Priya Ravi \
    Ananya Vikram Lakshmi Farid Leila Omar Yasmin Karim Amina Hassan Zahra Tariq Noor Kwame Ama Kofi Abena Chidi \
    Ngozi Emeka Adaeze Tunde Folake Sipho Thandi Lindiwe Jabulani Makena Juma Wanjiru Kamau Tadesse Hirut Carlos \
    Lucía Miguel Carmen Diego Ximena Javier Marisol Rafael Guadalupe Mateo Valentina Emilio Rocío Tomás Beatriz \
    Caio Luana Thiago Yara Inti Nayeli Tala Kai Leilani Mana Hine Tane";

pub(super) const SURNAMES: &str = "Smith Miller Garcia Brown Jones Wilson Martin Lee Taylor Anderson Silva Müller \
    Rossi Dubois Novak Kowalski Nielsen Hansen Virtanen Ivanova Popescu Papadopoulos Yılmaz Cohen Haddad Khan Singh \
    Patel Sharma Reddy Chen Wang Liu Zhang Kim Park Choi Tanaka Suzuki Sato Nguyen Tran Santos Reyes Cruz Okafor \
    Adeyemi Mensah Diallo Traoré Keita Mbeki Dlamini Kariuki Otieno Tesfaye O'Brien O'Neill Murphy Kelly Walsh Byrne \
    MacLeod Campbell Stewart Fraser Davies Evans Llewellyn Becker Schäfer Köhler Vogel Lindström Åberg Sjögren \
    Sørensen Østergaard Korhonen Mäkinen Tamm Kask Bērziņš Kazlauskas Dvořák Svoboda Horváth Szabó Nagy Kovács \
    Ionescu Petrov Dimitrov Jovanović Horvat Kranjc Bianchi Ferrari Esposito Moretti Lombardi Conti Moreau Lefèvre \
    Girard Rousseau Béranger D'Angelo D'Amico L'Heureux Peeters Janssens de-Vries van-Dijk Bakker Visser Álvarez \
    Muñoz Núñez Ibáñez Gómez Peña Castaño Cordero Vargas Rojas Quispe Mamani Huamán Fonseca Araújo Conceição Pereira \
    Nakamura Kobayashi Watanabe Ishikawa Fujimoto Hayashi Bose Chatterjee Iyer Menon Rao Gupta Malik Rahman Siddiqui \
    Abbasi Hosseini Karimi Aziz Nasser Mansour Farouk El-Sayed Benali Cherkaoui Amrani Obi Nwosu Balogun Osei Boateng \
    Asante Ndlovu Mokoena Nkosi Mwangi Achieng Abebe Bekele Kealoha Tuimavave Parata Whitaker Lockwood Ashford \
    Hargrove Pemberton Winslow Thackeray Blackwood Hawthorne Sinclair Delacroix Beaumont Montague Fairbanks Kingsley";

/// Parts of proper names that nobody has: the long tail of a vocabulary.
pub(super) const ONSETS: &str = "Bel Cor Dar El Fen Gal Har Is Jor Kal Lor Mar Nor Or Pel Quin Ral Sar Tor Ul Val Wen Xan \
    Yor Zel Bran Cael Drav Eth Farn Grim Hal Ilm Jas Kor Lys Mel Nym Osh Pry Ros Syl Thal Urs Vor Wyn Ast Bri Cry Dun";
pub(super) const MIDDLES: &str =
    "a e i o u an en in on un ar er ir or al el il ol am em im om as es is os av ev iv ad ed id";
pub(super) const ENDINGS: &str = "dor mir ra na th wick ford ham ton vale mere dell stead mont ville burg grad heim fell crag \
    moor wold bourne holt combe thorpe stow leigh worth gate haven hollow brook ridge field wood land shire port mouth";

pub(super) const VERBS: &str = "find save destroy escape protect betray forgive follow expose rescue steal bury remember \
    forget confront outwit hide build rebuild sell win lose discover prove solve free avenge marry leave reach cross \
    survive deceive defeat befriend recruit train teach heal kidnap smuggle deliver decode translate restore repaint \
    photograph record broadcast publish burn flood unearth excavate auction inherit redeem return repay unmask \
    outrun overtake abandon adopt raise bury reclaim defend infiltrate sabotage";

pub(super) const VERBS_PAST: &str = "vanishes returns collapses burns falls dies wakes disappears arrives surrenders \
    confesses escapes marries inherits floods freezes strikes rebels betrays breaks closes explodes sinks erupts";

pub(super) const LOGLINES: &[&str] = &[
    "When {a adj role} from {place} finds {a noun} in the ruins of {a adj noun}, {pron} must {verb} the {adj noun} before the {noun} {past}.",
    "{A adj role} and {a role} are forced to {verb} {a noun} together, and learn that every {noun} has its {noun}.",
    "After the {noun} {past}, {name} travels to {place} to {verb} the {adj noun} that {pos} family never spoke of.",
    "In {place}, {a adj role} has one night to {verb} {a noun} and {verb} the {role} who sold it.",
    "{Name}, {a adj role}, takes a job at {a adj noun} in {coined} and slowly begins to {verb} the {noun}.",
    "The {adj noun} of {coined} has been closed for years, until {a role} decides to {verb} it.",
    "{A role} who cannot {verb} the {noun} meets {a adj role} who can do nothing else.",
    "Two rival {role}s race across {place} to {verb} the {adj noun} before {a noun} {past}.",
    "A documentary portrait of {name}, the {adj role} who tried to {verb} {place} with {a noun}.",
    "On the eve of {a noun}, {a adj role} hears {a noun} nobody else can hear and sets out to {verb} it.",
    "{A adj family} in {coined} fights to {verb} their {noun} while the {noun} outside {past}.",
    "Years after the {noun}, {a role} in {place} receives {a adj noun} addressed to somebody else.",
];

pub(super) const SENTENCES: &[&str] = &[
    "{Name} has lived in {place} since the {noun}, and works as {a role} for {a adj noun}.",
    "One {adj} morning {a noun} arrives from {coined}, and with it {a role} called {name}.",
    "To {verb} the {noun}, {pron} needs the help of {a adj role} whom {pron} once failed to {verb}.",
    "Together they {verb} {a noun}, {verb} {a noun} and very nearly {verb} each other.",
    "But the {adj noun} is not what it seems, and the {role} of {coined} will do anything to {verb} it.",
    "As the {noun} {past}, old debts come due and {a adj noun} comes to light.",
    "In the {noun} beneath {place}, {a role} keeps {a adj noun} that could {verb} everything.",
    "Their only way out leads through {coined}, past the {noun} and into the {adj noun}.",
    "{Name} believes in the {noun}; {name} believes only in the {noun}.",
    "What begins as {a adj noun} becomes a question of who may {verb} the {noun}.",
    "The {role} offers a bargain: {verb} the {noun}, and the {adj noun} is theirs.",
    "When the {noun} {past} for the second time, nobody in {place} is left to {verb} it.",
    "It is a story about {noun} and {noun}, told in one {adj} night.",
    "Set between {place} and {place}, it follows three generations of {role}s and one {adj noun}.",
    "Nobody remembers who brought the {noun} to {coined}, but everybody wants to {verb} it.",
    "In the end {pron} has to choose between the {adj noun} and the {noun} that {pron} came to {verb}.",
    "The camera never leaves the {noun}, where {a role} and {a role} wait for the {noun}.",
    "With {a noun}, {a noun} and no plan at all, {pron} sets out for {place}.",
];
