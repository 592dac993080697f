PRAGMA journal_mode=WAL;
PRAGMA application_id=1953853029;
PRAGMA user_version=1;
BEGIN TRANSACTION;
CREATE TABLE batches (
	study INTEGER NOT NULL,
	position BIGINT NOT NULL,
	count INTEGER NOT NULL,
	events TEXT NOT NULL,
	crc BIGINT NOT NULL,
	PRIMARY KEY (study, position),
	FOREIGN KEY(study) REFERENCES studies (id)
);
INSERT INTO "batches" VALUES(1,0,2,'[1,["opened","explore",{"lr":{"type":"float","low":0.001,"high":1.0}},["loss","minimize","best"],1754000000.0,{}],["created",0,"explore",{"lr":0.1}]]',1079256484);
INSERT INTO "batches" VALUES(1,2,1,'[1,["looked","the end"]]',2833044649);
CREATE TABLE claims (
	study INTEGER NOT NULL,
	token VARCHAR NOT NULL,
	host VARCHAR NOT NULL,
	pid INTEGER NOT NULL,
	since FLOAT NOT NULL,
	driver VARCHAR NOT NULL,
	PRIMARY KEY (study),
	FOREIGN KEY(study) REFERENCES studies (id)
);
CREATE TABLE studies (
	id INTEGER NOT NULL,
	name VARCHAR NOT NULL,
	created FLOAT NOT NULL,
	written FLOAT NOT NULL,
	events BIGINT NOT NULL,
	trials INTEGER NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name)
);
INSERT INTO "studies" VALUES(1,'digits',1754000000.0,1754000001.5,3,1);
COMMIT;
